"""What a network is: its layers, their order, files and presets."""

from refntk.network.network import Network
from refntk.network.presets import load_network, preset, preset_text, presets

__all__ = ["Network", "load_network", "preset", "preset_text", "presets"]
