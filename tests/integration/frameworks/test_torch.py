"""PyTorch: Lightning, Hugging Face's Trainer, the plain example; several processes of one job."""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is most of a gigabyte; run: make frameworks")
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "torch"

pytestmark = pytest.mark.filterwarnings("ignore")  # the frameworks' own


def _lightning() -> Any:
    return pytest.importorskip("lightning.pytorch", reason="run: make frameworks")


def _module(lightning: Any) -> Any:
    base: Any = lightning.LightningModule

    class Module(base):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.layer(batch[0]).pow(2).mean()
            self.log("train_loss", loss, on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.layer(batch[0]).pow(2).mean())
            self.log("odd", torch.tensor(float("nan")))

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    return Module()


def _data() -> Any:
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(16, 4)), batch_size=4)


def _trainer(lightning: Any, reports: Any, epochs: int) -> Any:
    from bough.integrations.lightning import Logger, Reporter

    return lightning.Trainer(
        max_epochs=epochs, logger=Logger(kpi="val_loss", job=reports.job), callbacks=[Reporter(reports.job)],
        enable_progress_bar=False, enable_model_summary=False, accelerator="cpu", log_every_n_steps=1,
    )  # fmt: skip


def test_lightning_reports_each_epoch_after_its_metrics(reports: Any) -> None:
    lightning = _lightning()

    _trainer(lightning, reports, 3).fit(_module(lightning), _data(), _data())

    assert reports.order("val_loss") == [word for i in (1, 2, 3) for word in ("kpi", f"progress {i}")]
    assert reports.order("train_loss") == [word for i in (1, 2, 3) for word in ("kpi", f"progress {i}")]
    assert reports.lines("g")[-1][3:] == [3, 3]
    assert reports.points("odd")[0][1] == "nan"
    assert "epoch" not in reports.channels()


def test_lightning_ends_when_the_job_is_to_stop(reports: Any) -> None:
    lightning = _lightning()
    reports.stop()

    _trainer(lightning, reports, 50).fit(_module(lightning), _data(), _data())

    assert reports.lines("g")[-1][3] <= 1


def test_lightning_keeps_checkpoints_where_later_attempts_find_them(reports: Any) -> None:
    lightning = _lightning()

    trainer = _trainer(lightning, reports, 1)
    trainer.fit(_module(lightning), _data())

    assert (trainer.logger.name, trainer.logger.version) == ("bough", "k3f9a2bq")
    assert list((reports.folder / "checkpoints").rglob("*.ckpt"))


def _trained(reports: Any, folder: Path, epochs: int) -> None:
    transformers = pytest.importorskip("transformers", reason="run: make frameworks")
    pytest.importorskip("accelerate", reason="Hugging Face's Trainer needs it; run: make frameworks")
    from bough.integrations.transformers import Callback

    base: Any = torch.nn.Module

    class Model(base):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x: Any = None, labels: Any = None) -> dict[str, Any]:
            out = self.layer(x).squeeze(-1)
            return {"loss": (out - labels).pow(2).mean(), "logits": out}

    rows = [{"x": torch.randn(4), "labels": torch.tensor(1.0)} for _ in range(8)]
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=4, eval_strategy="epoch",
        logging_strategy="epoch", report_to=[], use_cpu=True, disable_tqdm=True, save_strategy="no",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.Trainer(
            model=Model(), args=arguments, train_dataset=rows, eval_dataset=rows,
            callbacks=[Callback(kpi="eval_loss", job=reports.job)],
        ).train()  # fmt: skip


def test_transformers_reports_each_epoch_after_its_evaluation(reports: Any, tmp_path: Path) -> None:
    _trained(reports, tmp_path / "out", 3)

    assert reports.order("eval_loss") == [word for i in (1, 2, 3) for word in ("kpi", f"progress {i}")]
    assert [x for x, _ in reports.points("loss")] == [2, 4, 6]
    assert reports.lines("g")[-1][3:] == [3, 3]
    assert "epoch" not in reports.channels()


def test_transformers_ends_when_the_job_is_to_stop(reports: Any, tmp_path: Path) -> None:
    reports.stop()

    _trained(reports, tmp_path / "out", 50)

    assert reports.points("train_runtime")
    assert len(reports.points("eval_loss")) <= 1
