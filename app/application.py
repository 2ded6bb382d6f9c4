"""The graph: which operator feeds which."""

from __future__ import annotations

import sys

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, Operator

from lung_nodules.execution import Task
from operators.classification_operator import ClassificationOperator
from operators.detection_operator import DetectionOperator
from operators.instances_operator import InstancesOperator
from operators.lungs_operator import LungsOperator
from operators.nodules_operator import NodulesOperator
from operators.quality_operator import QualityOperator
from operators.report_operator import ReportOperator
from operators.results_operator import ResultsOperator
from operators.segmentation_operator import SegmentationOperator
from operators.series_operator import SeriesOperator
from operators.volume_operator import VolumeOperator


class LungNoduleApplication(Application):
    """A chest CT in, findings out: the stages of `lung_nodules.pipeline.analyse` as a MONAI Deploy graph.

    A port feeds every port of its own name further down the line.

    Args:
        task: What this run reads and where it writes, its networks, settings and stopwatch.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        super().__init__([sys.executable, "app"])  # the command line was parsed before; holoscan's parser gets none

    def compose(self) -> None:
        """Wire the operators."""
        instances = InstancesOperator(self, CountCondition(self, 1), task=self.task)
        series = SeriesOperator(self, task=self.task)
        volume = VolumeOperator(self, task=self.task)
        lungs = LungsOperator(self, task=self.task)
        quality = QualityOperator(self, task=self.task)
        detection = DetectionOperator(self, task=self.task)
        segmentation = SegmentationOperator(self, task=self.task)
        nodules = NodulesOperator(self, task=self.task)
        classification = ClassificationOperator(self, task=self.task)
        report = ReportOperator(self, task=self.task)
        results = ResultsOperator(self, task=self.task)

        self._feed(instances, series)
        self._feed(series, volume, quality, report)
        self._feed(volume, lungs, quality, detection, segmentation, nodules, classification, report, results)
        self._feed(lungs, quality, detection, segmentation, nodules, report)
        self._feed(quality, report)
        self._feed(detection, segmentation)
        self._feed(segmentation, nodules, report, results)
        self._feed(nodules, classification)
        self._feed(classification, report)
        self._feed(report, results)

    def _feed(self, source: Operator, *receivers: Operator) -> None:
        for receiver in receivers:
            self.add_flow(source, receiver, {(source.output, source.output)})


def run(task: Task) -> None:
    """Run the graph on what the task names: the line of `python .`."""
    LungNoduleApplication(task).run()
