"""Code that runs inside the components: features, network, training, export; it knows nothing of graphs or runners."""
