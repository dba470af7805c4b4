"""xvision: from images to a verified int8 model on a low-power device."""
