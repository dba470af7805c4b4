"""How the losses of several tasks are weighed against each other, one method per file."""

from xvision.config.parts import Registry

balancing = Registry("balancing", "xvision.train.balancing")
