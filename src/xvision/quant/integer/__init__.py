"""The integer reference: a quantized network in whole numbers only, as a device without a float unit computes it."""
