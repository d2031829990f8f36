"""AETROS's generated "simple" models: functions that a trainer calls in a fixed order.

The order is that of ``aetros/keras_model_utils.py`` (aetros-cli 0.14.14, `job_start`).
"""

from __future__ import annotations

from bough.aetros.job import JobBackend, start_job

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List, Optional


class Trainer:
    """What the functions of a simple model are given."""

    def __init__(self, job_backend: JobBackend) -> None:
        self.job_backend = job_backend
        self.settings: Dict[str, Any] = {
            "batchSize": job_backend.get_parameter("batch_size", 32),
            "epochs": job_backend.get_parameter("epochs", 1),
        }
        self.callbacks: List[Any] = []
        self.input_shape: List[int] = []
        self.classes: Optional[List[Any]] = None
        self.output_size: Optional[int] = None
        self.samples_per_epoch: Optional[int] = None
        self.nb_val_samples: Optional[int] = None
        self.model: Any = None

    def set_model(self, model: Any) -> None:
        """Keep the model."""
        self.model = model

    def get_batch_size(self) -> int:
        """Return the batch size: hyperparameter ``batch_size``, else 32."""
        return int(self.settings["batchSize"])

    def set_status(self, status: str) -> None:
        """Say what is being done."""
        self.job_backend.set_status(status)


def run(model: Dict[str, Any]) -> None:
    """Run a simple model: data, model, loss, optimizer, compile, train."""
    job = start_job()
    trainer = Trainer(job)
    trainer.set_status("LOAD DATA")
    datasets = model["get_datasets"](trainer) if "get_datasets" in model else {}
    training = model["get_training_data"](trainer, datasets) if "get_training_data" in model else datasets
    validation = model["get_validation_data"](trainer, datasets) if "get_validation_data" in model else None
    trainer.set_status("CONSTRUCT")
    built = model["get_model"](trainer)
    trainer.set_model(built)
    trainer.set_status("COMPILING")
    model["compile"](trainer, built, model["get_loss"](trainer), model["get_optimizer"](trainer))
    trainer.callbacks.append(job.create_keras_callback(built))
    model["train"](trainer, built, training, validation)
