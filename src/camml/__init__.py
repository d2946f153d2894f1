"""CaMML, a Context-Aware MultiModal Learner."""

__version__ = "0.1.0"
