from setuptools import find_packages, setup

# The published models, which stand at the top of the repository, go with the package.
MODELS = "tf4dvar.saved_models"

setup(
    packages=[*find_packages(include=["tf4dvar*"]), MODELS],
    package_dir={MODELS: "saved_models"},
    package_data={"tf4dvar": ["py.typed"], MODELS: ["*/model.keras", "*/card.json"]},
)
