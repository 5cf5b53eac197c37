"""The engine: receives, proves, keeps, normalizes and delivers callbacks of transcription providers."""
