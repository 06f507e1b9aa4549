"""Every label, annotation and field-manager name that Aurora writes or reads, with its meaning."""

from typing import Final

GROUP: Final = "aurora.io"

FIELD_MANAGER: Final = "aurora-controller"
"""The one field manager of everything the controller applies."""

INTENT: Final = "aurora.io/intent"
"""Annotation on everything the controller applies: hash of what it asked for, by which it sees that a field left."""
REPORTER: Final = "aurora.io/controller"
"""Who speaks in Events."""

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
MANAGED_BY_AURORA: Final = "aurora"
"""On every child; the controller watches built-in kinds through this label alone."""

COMPONENT: Final = "app.kubernetes.io/component"
COMPONENT_TRAINER: Final = "trainer"
COMPONENT_SERVER: Final = "server"

MODEL: Final = "aurora.io/model"
"""Name of the MLModel an object belongs to."""
VERSION: Final = "aurora.io/version"
"""Number of the model version that an object trains or serves."""
TRAINING_JOB: Final = "aurora.io/training-job"
"""Name of the MLTrainingJob behind a Job or pod."""
RUN: Final = "aurora.io/run"
"""Run id of a Job or pod: tells the pods of one run from those of an earlier one."""
ATTEMPT: Final = "aurora.io/attempt"
"""Attempt number, from 1, of a Job or pod within its run."""
INPUTS: Final = "aurora.io/inputs"
"""Annotation on an MLModelVersion: hash of the inputs its run answers, so that a re-created job finds its versions."""
GENERATION: Final = "aurora.io/generation"
"""Annotation on a Job: generation of the MLTrainingJob that it was made from."""
DEPLOYMENT: Final = "aurora.io/deployment"
"""Name of the MLDeployment behind a child; part of every frozen selector."""
REVISION: Final = "aurora.io/revision"
"""``<version>-<hash8>`` of a serving Deployment and its pods; part of every frozen selector."""
ROLE: Final = "aurora.io/role"
"""``stable``, ``canary`` or ``previous``: on Deployment objects only, never in a pod template."""

INDEXED: Final = (MODEL, TRAINING_JOB, DEPLOYMENT)
"""Labels by which the cache can be asked."""

PROMOTE: Final = "aurora.io/promote"
"""Annotation on an MLDeployment, ``<revision>@<rollout number>``: make this canary stable."""
ABORT: Final = "aurora.io/abort"
"""Annotation on an MLDeployment, ``<revision>@<rollout number>``: give this canary up. Wins over promote."""
DIGEST: Final = "aurora.io/digest"
"""Annotation on a serving Deployment: digest of the version it serves."""
FROZEN_TEMPLATE: Final = "aurora.io/template"
"""Annotation on a serving Deployment or a training Job: hash of what its pod template was made from."""
