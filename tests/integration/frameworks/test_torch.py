"""PyTorch: Lightning, Hugging Face's Trainer, the plain example; several processes of one job."""

# pyright: reportMissingImports=false, reportMissingTypeStubs=false
from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is most of a gigabyte; run: make frameworks")

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


def test_workers_of_a_data_loader_report_into_journals_of_their_own(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran("""
        import bough, torch
        channel = bough.start_job().create_channel("read")
        class Data(torch.utils.data.Dataset):
            def __len__(self):
                return 40
            def __getitem__(self, index):
                channel.send(index, index)
                return torch.tensor(float(index))
        loader = torch.utils.data.DataLoader(Data(), batch_size=4, num_workers=2)
        total = sum(float(batch.sum()) for batch in loader)
        bough.start_job().create_channel("kpi", kpi=True).send(1, total)
        """)

    assert done.returncode == 0, done.stderr
    lines = [line for journal in attempt.journals().values() for line in journal if line[0] == "p"]
    assert sorted(line[4] for line in lines if line[3] == "read") == list(range(40))
    assert [line[5] for line in lines if line[3] == "kpi"] == [780.0]
    assert len(attempt.journals()) == 3


def test_ranks_of_a_distributed_training_report_side_by_side(make_attempt: Any) -> None:
    attempt = make_attempt()

    done = attempt.ran("""
        import datetime, os, warnings
        warnings.simplefilter("ignore")  # torch's own
        import bough, torch
        import torch.distributed as dist
        def work(rank, port):
            os.environ.update(RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            dist.init_process_group("gloo", timeout=datetime.timedelta(seconds=40))
            model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 1))
            job = bough.start_job()
            loss = job.create_channel("loss of rank %d" % rank, kpi=rank == 0)
            for epoch in range(1, 4):
                model.zero_grad()
                value = model(torch.ones(4, 2)).pow(2).mean()
                value.backward()
                loss.send(epoch, value)
                job.progress(epoch, 3)
            dist.destroy_process_group()
        if __name__ == "__main__":
            import socket
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            torch.multiprocessing.spawn(work, args=(port,), nprocs=2)
        """)

    assert done.returncode == 0, done.stderr
    lines = [line for journal in attempt.journals().values() for line in journal]
    for rank in (0, 1):
        assert [line[4] for line in lines if line[0] == "p" and line[3] == f"loss of rank {rank}"] == [1, 2, 3]


def test_the_plain_example_learns_and_resumes(make_attempt: Any) -> None:
    attempt = make_attempt(values={"lr": 0.05, "hidden": 16, "optimizer": "adam"})
    script = (Path(__file__).resolve().parents[3] / "examples" / "torch" / "train.py").read_text()

    first = attempt.ran(script)
    points = attempt.points("accuracy")
    again = attempt.ran(script)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert [x for x, _ in points] == list(range(1, 21))
    assert points[-1][1] > 0.8
    second = [journal for journal in attempt.journals().values() if not any(line[0] == "p" for line in journal)]
    assert len(second) == 1, "there was nothing left to train"
