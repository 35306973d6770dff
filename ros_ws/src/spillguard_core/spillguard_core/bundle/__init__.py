"""The bundle that training exports: loaded and verified as a whole, or refused. Imports gate and below."""
