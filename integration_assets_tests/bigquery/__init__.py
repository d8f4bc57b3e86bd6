"""A BigQuery emulator (local-bigquery) in an environment of its own, and the tests of what only BigQuery has.

requirements.in, requirements.lock   what the emulator needs, by hash
environment.py                       makes `.venv-bigquery` on demand: `python -m integration_assets_tests.bigquery.environment`
serve.py                             runs inside that environment, standard library and the emulator only
process.py                           starts and stops it
"""
