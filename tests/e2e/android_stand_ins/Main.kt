import android.content.Context
import java.io.File
import model.Classifier
import org.tensorflow.lite.Interpreter

/** Prints what the sample fed differently from the assets, and what its self-test counts: the right answers, then one wrong. */
fun main(arguments: Array<String>) {
    val (assets, pixels) = arguments
    val sample = Classifier(Context(assets))
    val raw = File(pixels).readBytes()
    val values = Classifier.INPUT_VALUES
    for (example in 0 until Classifier.TEST_EXAMPLES) {
        sample.run(FloatArray(values) { (raw[example * values + it].toInt() and 0xff).toFloat() })
    }
    val fed = Interpreter.fed.flatMap { it.asList() }
    val expected = File(assets, "test_inputs.bin").readBytes().asList()
    println("${fed.zip(expected).count { (one, other) -> one != other }} of ${expected.size} bytes differ")
    val outputs = File(assets, "test_outputs.bin").readBytes()
    val size = outputs.size / Classifier.TEST_EXAMPLES
    for (wrong in listOf(-1, 3)) {
        for (example in 0 until Classifier.TEST_EXAMPLES) {
            val answer = outputs.copyOfRange(example * size, (example + 1) * size)
            Interpreter.answers.add(if (example == wrong) answer.reversedArray() else answer)
        }
        println("${sample.selfTest()} alike")
    }
}
