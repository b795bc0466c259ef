"""How a checkpoint's matrices are stored: formats in bytes, which modules they hold for, and each method's own file entries."""
