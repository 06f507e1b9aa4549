"""All of Aurora's reconcilers over one cluster in memory, and every kind that they read or write."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from aurora_controller.analysis.scrape import CounterReader
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.clock import Clock
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
)
from aurora_controller.kube.reconcile import Reconciler
from aurora_controller.registry.reconciler import RegistryReconciler
from aurora_controller.registry.versions import VersionReconciler
from aurora_controller.rollout.keys import KeysReader, random_key
from aurora_controller.rollout.reconciler import RolloutReconciler
from aurora_controller.traffic.nginx_ingress import NginxIngressRouter
from aurora_controller.training.progress import ProgressReader
from aurora_controller.training.reconciler import TrainingReconciler
from tests.unit.fakes.cluster import FakeCluster

OWN_KINDS: Final = (ML_TRAINING_JOB, ML_MODEL_VERSION, ML_MODEL, ML_DEPLOYMENT)
CHILD_KINDS: Final = (JOB, DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, SECRET, POD, ENDPOINT_SLICE)
KINDS: Final = (*OWN_KINDS, *CHILD_KINDS, PERSISTENT_VOLUME_CLAIM)


def reconcilers_of(
    cluster: FakeCluster,
    *,
    clock: Clock,
    progress: ProgressReader,
    counters: CounterReader,
    runtime_image: str,
    new_key: Callable[[], str] = random_key,
) -> Sequence[Reconciler[Any]]:
    """As ``app.py`` makes them."""
    cache = cluster.cache
    return (
        TrainingReconciler(cache=cache, runtime_image=runtime_image, progress=progress),
        RegistryReconciler(cache=cache, live=cluster),
        VersionReconciler(cache=cache),
        RolloutReconciler(
            cache=cache,
            keys=KeysReader(secrets=cluster, clock=clock, new_key=new_key),
            counters=counters,
            router=NginxIngressRouter(),
            runtime_image=runtime_image,
            clock=clock,
        ),
    )
