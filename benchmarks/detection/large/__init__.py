"""The detection benchmark at 224 pixels, of published ImageNet networks and what they become."""
