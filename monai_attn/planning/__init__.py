"""From labelled cases to the values that training and inference take: what the data are, what follows."""
