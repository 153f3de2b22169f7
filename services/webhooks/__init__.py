"""Sends membership changes by HTTP: signed, at least once, in order per contact.

Rule: it decides nothing about membership. It reads committed changes and passes on what they say.
"""
