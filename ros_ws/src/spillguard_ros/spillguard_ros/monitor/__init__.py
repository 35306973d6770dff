"""The safety monitor node, and its status reports. Imports recording and below."""
