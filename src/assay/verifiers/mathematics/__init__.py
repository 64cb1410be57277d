"""Mathematical answers: from a response to the answer in it, from its text to a tree, and whether two trees are the
same.

    response --> boxes, prose --> text --> notation, tokens --> grammar, reader --> Node --> comparison --> verdict
                                                                                       \\--> algebra (in a worker)

All but `algebra` is linear in the length of the text and evaluates nothing but bounded sums of fractions.
"""
