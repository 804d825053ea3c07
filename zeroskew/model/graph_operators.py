"""The operators that a model's graph may have: those that calculate, and nothing else."""

from __future__ import annotations

from typing import Final

__all__ = ["ALLOWED_OPERATORS", "TREE_OPERATORS"]

TREE_OPERATORS: Final = frozenset(
    {"TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"}
)

_ARITHMETIC: Final = """
    Abs Acos Acosh Add Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
    Ceil Celu Clip Cos Cosh Div Elu Erf Exp Floor Gelu Gemm HardSigmoid HardSwish LeakyRelu Log
    LogSoftmax MatMul Max Mean Min Mish Mod Mul Neg PRelu Pow Reciprocal Relu Round Selu Sigmoid
    Sign Sin Sinh Softmax Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu
"""
_COMPARISON: Final = """
    And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Where Xor
"""
_SHAPE: Final = """
    Cast CastLike Compress Concat Constant ConstantOfShape CumSum EyeLike Expand Flatten Gather
    GatherElements GatherND Identity NonZero OneHot Pad Range Reshape ReverseSequence Scatter
    ScatterElements ScatterND Shape Size Slice Split Squeeze Tile TopK Transpose Trilu Unique
    Unsqueeze
"""
_REDUCTION: Final = """
    ArgMax ArgMin BatchNormalization Einsum LayerNormalization LpNormalization
    MeanVarianceNormalization ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean
    ReduceMin ReduceProd ReduceSum ReduceSumSquare
"""
_MACHINE_LEARNING: Final = """
    ArrayFeatureExtractor Binarizer CategoryMapper FeatureVectorizer Imputer LabelEncoder
    LinearClassifier LinearRegressor Normalizer OneHotEncoder SVMClassifier SVMRegressor Scaler
"""

ALLOWED_OPERATORS: Final = {
    "": frozenset(f"{_ARITHMETIC}{_COMPARISON}{_SHAPE}{_REDUCTION}".split()),
    "ai.onnx": frozenset(f"{_ARITHMETIC}{_COMPARISON}{_SHAPE}{_REDUCTION}".split()),
    "ai.onnx.ml": frozenset(_MACHINE_LEARNING.split()) | TREE_OPERATORS,
}
"""By domain. Not among them are random operators, those with subgraphs, and those that the
specification defines by such (``SequenceMap``), and what decodes or prints."""
