"""How CLIP normalises pixels (Radford et al. 2021, `clip.load`'s transform): the one home of these numbers.

Which pixels of an image these are, `mmctr.images.preprocess` says.
"""

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)  # of red, green and blue, in the range 0 to 1
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
