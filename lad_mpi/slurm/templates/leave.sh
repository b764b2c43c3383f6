# Exit code 75: there is a checkpoint. Submit the same job again to continue from it.
exit "$code"
