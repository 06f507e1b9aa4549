"""Tree ensembles of scikit-learn, walked by code of our own: see docs/adr/0009.

``estimators`` reads them, ``layout`` arranges their nodes, ``forest`` walks them, ``model_file`` stores them.
"""
