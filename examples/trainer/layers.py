"""The few layers the examples need, forward and backward, and Adam.

A layer keeps what its `backward` needs from the last `forward`. Images are
[batch, channel, row, column], as in ONNX.
"""

import numpy as np


class Dense:
    """y = x·W + b."""

    def __init__(self, rng, inputs, outputs):
        self.params = [he_uniform(rng, inputs, (inputs, outputs)), zeros(outputs)]

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, grad):
        self.grads = [self.x.T @ grad, grad.sum(axis=0)]
        return grad @ self.params[0].T


class Conv:
    """Square convolution, stride 1, with zero padding; weights [out, in, k, k]."""

    def __init__(self, rng, inputs, outputs, kernel, pad=0):
        self.kernel, self.pad = kernel, pad
        shape = (outputs, inputs, kernel, kernel)
        self.params = [he_uniform(rng, inputs * kernel * kernel, shape), zeros(outputs)]

    def forward(self, x):
        padded = np.pad(x, ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (self.kernel, self.kernel), axis=(2, 3))
        batch, _, rows, columns = windows.shape[:4]
        self.shape = padded.shape
        self.patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch * rows * columns, -1)
        weights, bias = self.params
        y = self.patches @ weights.reshape(len(bias), -1).T + bias
        return y.reshape(batch, rows, columns, -1).transpose(0, 3, 1, 2)

    def backward(self, grad):
        weights = self.params[0]
        batch, outputs, rows, columns = grad.shape
        flat = grad.transpose(0, 2, 3, 1).reshape(-1, outputs)
        self.grads = [(flat.T @ self.patches).reshape(weights.shape), flat.sum(axis=0)]
        patches = (flat @ weights.reshape(outputs, -1)).reshape(
            batch, rows, columns, -1, self.kernel, self.kernel)
        padded = np.zeros(self.shape, dtype=grad.dtype)
        for row in range(self.kernel):
            for column in range(self.kernel):
                padded[:, :, row:row + rows, column:column + columns] += (
                    patches[..., row, column].transpose(0, 3, 1, 2))
        end = -self.pad or None
        return padded[:, :, self.pad:end, self.pad:end]


class MaxPool:
    """The largest of each 2×2 square."""

    params = ()

    def forward(self, x):
        batch, channels, rows, columns = x.shape
        squares = x.reshape(batch, channels, rows // 2, 2, columns // 2, 2)
        y = squares.max(axis=(3, 5), keepdims=True)
        # Where two values tie, both pass a gradient: rare, and harmless here.
        self.winners = squares == y
        return y[:, :, :, 0, :, 0]

    def backward(self, grad):
        spread = self.winners * grad[:, :, :, np.newaxis, :, np.newaxis]
        batch, channels, rows, _, columns, _ = spread.shape
        return spread.reshape(batch, channels, rows * 2, columns * 2)


class Relu:
    """max(x, 0)."""

    params = ()

    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, grad):
        return grad * self.mask


class Flatten:
    """[batch, …] to [batch, features]."""

    params = ()

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, grad):
        return grad.reshape(self.shape)


def fit(layers, inputs, labels, *, rng, epochs, batch, rate, augment=None, decay=0.0):
    """Trains on softmax cross-entropy with Adam, the rate falling on a half cosine."""
    trained = [layer for layer in layers if layer.params]
    moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in layer.params] for layer in trained]
    steps = epochs * -(-len(inputs) // batch)
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(inputs))
        for start in range(0, len(inputs), batch):
            chosen = order[start:start + batch]
            x = inputs[chosen] if augment is None else augment(rng, inputs[chosen])
            grad = softmax(forward(layers, x))
            grad[np.arange(len(chosen)), labels[chosen]] -= 1
            grad /= len(chosen)
            for layer in reversed(layers):
                grad = layer.backward(grad)
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            step += 1
            for layer, pair in zip(trained, moments):
                for param, gradient, (first, second) in zip(layer.params, layer.grads, pair):
                    adam(param, gradient + decay * param, first, second, step, now)


def forward(layers, x):
    """The last layer's output."""
    for layer in layers:
        x = layer.forward(x)
    return x


def softmax(logits):
    """Probabilities along the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def adam(param, grad, first, second, step, rate, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """One step of Adam, in place."""
    first += (1 - beta1) * (grad - first)
    second += (1 - beta2) * (grad * grad - second)
    size = rate * np.sqrt(1 - beta2 ** step) / (1 - beta1 ** step)
    param -= (size * first / (np.sqrt(second) + epsilon)).astype(param.dtype)


def he_uniform(rng, fan_in, shape):
    """He's initial weights for layers that a rectifier follows."""
    limit = np.sqrt(6 / fan_in)
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def zeros(count):
    """Initial biases."""
    return np.zeros(count, dtype=np.float32)
