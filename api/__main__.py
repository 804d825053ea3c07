"""``python -m api`` serves with the settings of the environment."""

from api.main import serve

if __name__ == "__main__":
    serve()
