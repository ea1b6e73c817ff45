"""Planning: properties of labelled cases, and the values for training and inference that follow."""
