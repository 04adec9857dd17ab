"""What `pmm explain` shows: images with their CAMs, on a page or as PNG files."""
