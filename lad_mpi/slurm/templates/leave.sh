# 75: there is a checkpoint, and the same job goes on from it when it is submitted again.
exit "$code"
