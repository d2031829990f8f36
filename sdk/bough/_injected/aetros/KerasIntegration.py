"""AETROS's module of that name; see `bough.aetros.keras`."""

from bough.aetros.keras import KerasCallback, KerasIntegration, optimizer_factory

__all__ = ["KerasCallback", "KerasIntegration", "optimizer_factory"]
