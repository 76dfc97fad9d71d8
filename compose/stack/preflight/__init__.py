"""What is wrong with a stack, its machine or its images, found before any of them is touched."""

from compose.stack.preflight.findings import Finding, Findings, PreflightRefused, Severity

__all__ = ["Finding", "Findings", "PreflightRefused", "Severity"]
