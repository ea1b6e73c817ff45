"""Segment a CT in DICOM with a bundle of monai-attn, and write DICOM SEG: an application of MONAI Deploy.

    python app.py --input dicom_folder --model model.ts --output out

`model.ts` is the bundle, exported by `ckpt_export`. It holds the network, its configs and its labels.
"""

import logging
from pathlib import Path

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application
from monai.deploy.core.domain import Image
from monai.deploy.core.io_type import IOType
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_seg_writer_operator import (
    DICOMSegmentationWriterOperator,
    SegmentDescription,
)
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator
from monai.deploy.operators.dicom_utils import ModelInfo
from monai.deploy.operators.monai_bundle_inference_operator import (
    BundleConfigNames,
    IOMapping,
    MonaiBundleInferenceOperator,
    get_bundle_config,
)
from pydicom.sr.coding import Code

from monai_attn.io.dicom.organ_codes import organ_codes

MAKER = "monai-attn"
ONLY_CT = '{"selections": [{"name": "CT", "conditions": {"Modality": "^CT$"}}]}'


def describe_segments(metadata: dict) -> list[SegmentDescription]:
    """Return a description of each label, from a bundle's metadata."""
    names = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
    labels = [names[key] for key in sorted(names, key=int) if int(key) > 0]
    described = []
    for label in labels:
        category, kind = (Code(code, "SCT", meaning) for code, meaning in organ_codes(label))
        described.append(
            SegmentDescription(
                segment_label=label,
                segmented_property_category=category,
                segmented_property_type=kind,
                algorithm_name=metadata["name"][:64],
                algorithm_version=metadata["version"],
            )
        )
    return described


class SegmentationApp(Application):
    """Read a study, pick its CT, run the bundle, and write a DICOM SEG."""

    def compose(self) -> None:
        """Connect the operators."""
        context: AppContext = Application.init_app_context(self.argv)
        model = Path(context.model_path)
        metadata = get_bundle_config(str(model), ["inference"])["_meta_"]
        made_by = ModelInfo(MAKER, metadata["name"][:64], metadata["version"])
        load = DICOMDataLoaderOperator(
            self, CountCondition(self, 1), input_folder=Path(context.input_path), name="load"
        )
        select = DICOMSeriesSelectorOperator(self, rules=ONLY_CT, name="select")
        to_volume = DICOMSeriesToVolumeOperator(self, name="to_volume")
        segment = MonaiBundleInferenceOperator(
            self,
            app_context=context,
            input_mapping=[IOMapping("image", Image, IOType.IN_MEMORY)],
            output_mapping=[IOMapping("pred", Image, IOType.IN_MEMORY)],
            bundle_config_names=BundleConfigNames(config_names=["inference"]),
            bundle_path=model,
            name="segment",
        )
        write = DICOMSegmentationWriterOperator(
            self,
            segment_descriptions=describe_segments(metadata),
            model_info=made_by,
            output_folder=Path(context.output_path),
            name="write",
        )
        self.add_flow(load, select, {("dicom_study_list", "dicom_study_list")})
        series = {("study_selected_series_list", "study_selected_series_list")}
        self.add_flow(select, to_volume, series)
        self.add_flow(to_volume, segment, {("image", "image")})
        self.add_flow(select, write, series)
        self.add_flow(segment, write, {("pred", "seg_image")})


if __name__ == "__main__":
    logging.getLogger("highdicom").setLevel(logging.ERROR)  # its warnings show patients' names
    SegmentationApp().run()
