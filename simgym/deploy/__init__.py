"""What runs on a robot: camera geometry, bundles, policies, goggles. Needs numpy, opencv and onnxruntime only."""
