"""Train a small neural network on scikit-learn's digits and report its validation accuracy after each epoch."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import bough

EPOCHS = 60  # as many as it would like; the optimization's max_epochs ends it earlier
PATIENCE = 10  # epochs without a better validation accuracy


def network(job):
    """Build the network that the job's hyperparameters describe."""
    layers = [job.get_parameter("neurons")]
    if job.get_parameter("second_layer"):  # an optional group is True or False …
        layers.append(job.get_parameter("second_layer.neurons"))  # … and its children exist only when it is there
    settings = {
        "hidden_layer_sizes": layers,
        "activation": job.get_parameter("activation"),
        "alpha": job.get_parameter("weight_decay"),
        "batch_size": job.get_parameter("batch_size"),
        "shuffle": job.get_parameter("shuffle"),
        "learning_rate_init": job.get_parameter("optimizer.lr"),  # of whichever optimizer was chosen
        "solver": job.get_parameter("optimizer"),
        "random_state": 1,
    }
    if settings["solver"] == "sgd":
        settings["momentum"] = job.get_parameter("optimizer.momentum")
        settings["nesterovs_momentum"] = job.get_parameter("optimizer.nesterov")
    else:
        settings["beta_1"] = job.get_parameter("optimizer.beta1")
    return MLPClassifier(**settings)


def main():
    """Report one validation accuracy per epoch; stop when it no longer rises."""
    job = bough.start_job()
    pixels, digits = load_digits(return_X_y=True)
    train_x, valid_x, train_y, valid_y = train_test_split(pixels / 16.0, digits, test_size=0.3, random_state=1)
    model = network(job)
    accuracy = job.create_channel("accuracy", traces=["validation", "training"], main=True, kpi=True)
    loss = job.create_channel("loss", main=True)

    best, best_epoch = 0.0, 0
    for epoch in range(1, EPOCHS + 1):
        model.partial_fit(train_x, train_y, classes=range(10))
        reached = model.score(valid_x, valid_y)
        accuracy.send(epoch, [reached, model.score(train_x, train_y)])
        loss.send(epoch, model.loss_)
        job.progress(epoch, EPOCHS)
        if reached > best:
            best, best_epoch = reached, epoch
        elif epoch - best_epoch >= PATIENCE:
            print("no better accuracy for", PATIENCE, "epochs: enough")
            break
    print("best validation accuracy", best, "in epoch", best_epoch)


if __name__ == "__main__":
    main()
