"""Dialogues whose last turn is judged, and demonstrations mixed with RL; see README.md."""
