"""A plain PyTorch loop that learns a spiral: parameters in, KPI and progress out, resumable by its checkpoint."""

import os

import torch

import bough

EPOCHS = 20

job = bough.start_job()
torch.manual_seed(1)
turn = torch.linspace(0, 6, 400).repeat(2)
label = torch.arange(2).repeat_interleave(400)
angle = turn + 3.1416 * label
points = torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1) / 6 + 0.02 * torch.randn(800, 2)
held_out = torch.arange(800) % 5 == 0
trained_on = torch.arange(800)[~held_out]

hidden = job.get_parameter("hidden")
model = torch.nn.Sequential(
    torch.nn.Linear(2, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, hidden), torch.nn.Tanh(),
    torch.nn.Linear(hidden, 2),
)  # fmt: skip
kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
optimizer = kinds[job.get_parameter("optimizer")](model.parameters(), lr=job.get_parameter("lr"))
criterion = torch.nn.CrossEntropyLoss()
accuracy = job.create_channel("accuracy", kpi=True, main=True)
loss_channel = job.create_loss_channel()

checkpoint = os.path.join(job.checkpoint_dir, "last.pt")
first = 1
if os.path.exists(checkpoint):  # an earlier attempt of this job on this machine
    state = torch.load(checkpoint, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    first = state["epoch"] + 1

for epoch in range(first, EPOCHS + 1):
    for batch in trained_on[torch.randperm(len(trained_on))].split(64):
        optimizer.zero_grad()
        training = criterion(model(points[batch]), label[batch])
        training.backward()
        optimizer.step()
    with torch.no_grad():
        outputs = model(points[held_out])
        right = (outputs.argmax(1) == label[held_out]).float().mean()
        loss_channel.send(epoch, training, criterion(outputs, label[held_out]))
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, checkpoint + ".new")
    os.replace(checkpoint + ".new", checkpoint)
    accuracy.send(epoch, right)
    job.progress(epoch, EPOCHS)
