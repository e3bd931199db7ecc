"""Run one of the declarative manifests beside this file, as a connector's image of its own would."""

import sys
from pathlib import Path

from airbyte_cdk.cli.source_declarative_manifest import run

manifest = Path(__file__).with_name(f"{sys.argv.pop(1)}.yaml")
sys.argv += ["--manifest-path", str(manifest)]
run()
