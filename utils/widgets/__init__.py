"""Things to play with in a notebook, one file for each. All of them print as plain text too: nothing needs a mouse."""

from utils.widgets.calculator import Calculator
from utils.widgets.chat import Chat
from utils.widgets.compare import Compare
from utils.widgets.doctor import Doctor
from utils.widgets.quiz import Question, Quiz
from utils.widgets.sampling import Sampling
from utils.widgets.tokens import Tokens
from utils.widgets.training import Training

__all__ = ["Calculator", "Chat", "Compare", "Doctor", "Question", "Quiz", "Sampling", "Tokens", "Training"]
