//! Properties of the heuristic's answers.
