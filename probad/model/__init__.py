"""The modelling language: models as functions, their sites, and their log density."""

from probad.model.density import ModelDensity
from probad.model.effects import Handler, Interpreter, Site, deterministic, factor, sample
from probad.model.layout import SiteInfo
from probad.model.model import BoundModel, Model, model

__all__ = [
    "BoundModel",
    "Handler",
    "Interpreter",
    "Model",
    "ModelDensity",
    "Site",
    "SiteInfo",
    "deterministic",
    "factor",
    "model",
    "sample",
]
