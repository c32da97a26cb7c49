"""What to ask next: scores of questions, margins of a whole pool, selection and stopping."""
