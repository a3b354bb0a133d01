from __future__ import annotations

from pipelines.settings import Settings
from serve_app.driver_pool import classifier_slots

CLUSTER = {"CPU": 16.0, "GPU": 5.0}


def test_gpus_and_cpus_have_slots_of_their_own() -> None:
    settings = Settings(classifier_cpus=0.5, classifier_gpus=2)
    assert classifier_slots(settings, CLUSTER, on_gpu=True) == 2
    assert classifier_slots(settings, CLUSTER, on_gpu=False) == 31


def test_a_cluster_that_has_no_gpu_yet_has_a_slot_whose_job_brings_one_up() -> None:
    assert classifier_slots(Settings(classifier_gpus=1), {"CPU": 2.0}, on_gpu=True) == 1


def test_the_operators_number_counts_for_the_kind_that_it_is_of() -> None:
    settings = Settings(classifier_gpus=1, gpu_classifier_slots=4)
    assert classifier_slots(settings, CLUSTER, on_gpu=True) == 4
    assert classifier_slots(settings, CLUSTER, on_gpu=False) == 31

    assert classifier_slots(Settings(cpu_classifier_slots=3), CLUSTER, on_gpu=False) == 3
