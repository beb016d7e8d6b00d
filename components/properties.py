"""Names of properties, for code that reads the metadata but not the components that write it."""

from __future__ import annotations

# Custom properties of artifacts
ORIGIN_PROPERTY = "origin"  # of Examples: which data it is, in words
SPLITS_PROPERTY = "splits"  # of Examples: a JSON list with rows and frauds of each split
FEATURES_PROPERTY = "features"  # of Examples: a JSON object with the `FeatureKind` of each feature
AVERAGE_PRECISION_PROPERTY = "average_precision"  # of ModelEvaluation: on the test split
URI_PROPERTY = "uri"  # of an input in a pod: where it lies in the object store; the artifact's own is that of a copy
VERSION_PROPERTY = "version"  # of the Model in service: the name of its folder, "" where there is none

# An execution property of each component that runs code of the project's
SOURCE_DIGEST = "source_digest"
