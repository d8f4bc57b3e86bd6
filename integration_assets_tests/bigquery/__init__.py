"""A BigQuery emulator (local-bigquery) in an environment of its own, and the tests of what only BigQuery has.

requirements.in and requirements.lock say what the emulator needs, by hash; environment.py makes `.venv-bigquery` from them
(`python -m integration_assets_tests.bigquery.environment`); serve.py runs inside it; process.py starts and stops it.
"""
