"""What the library knows about any ``nn.Module``, once for all its subpackages.

* ``layers``: what a layer is, and how each of its weights and biases is stored.
* ``norms``: which modules are norms, and which of them cancel a constant channel.
* ``state``: keep random state and modes; the model inside a compiled one.
* ``batch``: what counts as a batch, and how a model is called with it.
* ``copying``, ``casting``, ``reach``: copy any model, with all that points into it.
"""
