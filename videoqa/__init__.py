"""Multiple-choice questions about videos, as Video-MME asks them: answered from features, and scored."""
