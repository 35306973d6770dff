"""The pouring cell, alone and behind the safety monitor."""
