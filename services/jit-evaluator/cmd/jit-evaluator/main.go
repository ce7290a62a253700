// Command jit-evaluator runs the evaluator as a separate process.
package main

import evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"

func main() { evaluator.Program().Main() }
