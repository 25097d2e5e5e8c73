"""Well-known networks as built models, with weights drawn by He's rule: functions of the classes and the shape of an image."""

from convkit.models.lenet import lenet
from convkit.models.mobilenet import mobilenet_v2
from convkit.models.resnet import resnet18, resnet20, resnet50
from convkit.models.unet import unet
from convkit.models.vgg import vgg16

__all__ = ["lenet", "mobilenet_v2", "resnet18", "resnet20", "resnet50", "unet", "vgg16"]
