#if canImport(Glibc)
    import Glibc
#endif

/// A moment as the wire writes it: the DateTime profile of XEP-0082 §3.2, to the microsecond.
public struct DateTime: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    public var microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }

    /// The first and the last moment with a year of four digits: what can be written.
    public static let range = DateTime(microseconds: -62_167_219_200_000_000)...DateTime(microseconds: 253_402_300_799_999_999)

    /// Reads `CCYY-MM-DDThh:mm:ss[.s…](Z|±hh:mm)`; nil for anything else. Digits of the fraction beyond the sixth are dropped.
    /// A leap second counts as the second before it ends. The hour 24 of XML Schema is read at 24:00:00 only.
    public init?(_ text: String) {
        var reader = DateReader(text)
        guard let day = reader.date(), reader.take("T"), let hour = reader.digits(2), reader.take(":"), let minute = reader.digits(2),
            reader.take(":"), var second = reader.digits(2), let fraction = reader.fraction(), let offset = reader.zone(), reader.isAtEnd
        else { return nil }
        guard hour < 24 || (hour == 24 && minute == 0 && second == 0 && fraction == 0), minute < 60, second <= 60 else { return nil }
        if second == 60 { second = 59 }
        let seconds = day * 86_400 + hour * 3600 + minute * 60 + second - offset
        let moment = DateTime(microseconds: seconds * 1_000_000 + fraction)
        guard Self.range.contains(moment) else { return nil }
        self = moment
    }

    /// The moment in UTC: without a fraction at whole seconds, with three digits at whole milliseconds, else with six.
    /// Moments outside `range` are written as its nearest end.
    public var description: String {
        let moment = min(max(microseconds, Self.range.lowerBound.microseconds), Self.range.upperBound.microseconds)
        let day = moment.flooredQuotient(86_400_000_000)
        let rest = moment - day * 86_400_000_000
        let (year, month, dayOfMonth) = Calendar.date(ofDay: day)
        var text: [UInt8] = []
        text.reserveCapacity(27)
        func put(_ value: Int64, _ width: Int, _ end: Character?) {
            var divisor: Int64 = 1
            for _ in 1..<width { divisor *= 10 }
            while divisor > 0 {
                text.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / divisor % 10))
                divisor /= 10
            }
            if let byte = end?.asciiValue { text.append(byte) }
        }
        put(year, 4, "-")
        put(month, 2, "-")
        put(dayOfMonth, 2, "T")
        put(rest / 3_600_000_000, 2, ":")
        put(rest / 60_000_000 % 60, 2, ":")
        let fraction = rest % 1_000_000
        put(rest / 1_000_000 % 60, 2, fraction == 0 ? "Z" : ".")
        if fraction != 0, fraction % 1000 == 0 {
            put(fraction / 1000, 3, "Z")
        } else if fraction != 0 {
            put(fraction, 6, "Z")
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The day alone: the Date profile (XEP-0082 §3.1).
    public var date: String { String(description.prefix(10)) }

    /// The form of XEP-0091, `CCYYMMDDThh:mm:ss` in UTC, which old namespaces keep (XEP-0082 §4).
    public var legacy: String {
        let text = Array(description.utf8.prefix(19))
        return String(decoding: text.enumerated().filter { $0.offset != 4 && $0.offset != 7 }.map(\.element), as: UTF8.self)
    }

    /// The wall clock now.
    public static var now: DateTime {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return DateTime(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000)
    }

    public static func < (a: DateTime, b: DateTime) -> Bool { a.microseconds < b.microseconds }
}

/// Days of the proleptic Gregorian calendar, counted from 1970-01-01.
private enum Calendar {
    /// Years count from March here, so that the leap day is the last of its year, and in eras of 400 years.
    private static let daysToEpoch: Int64 = 719_468
    private static let daysPerEra: Int64 = 146_097

    static func day(year: Int64, month: Int64, day: Int64) -> Int64? {
        guard (1...12).contains(month), (1...31).contains(day) else { return nil }
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted.flooredQuotient(400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        let result = era * daysPerEra + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - daysToEpoch
        // A day the month does not have runs into the next one.
        guard date(ofDay: result) == (year, month, day) else { return nil }
        return result
    }

    static func date(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + daysToEpoch
        let era = shifted.flooredQuotient(daysPerEra)
        let dayOfEra = shifted - era * daysPerEra
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}

/// Reads the fields of a date from left to right.
private struct DateReader {
    private var rest: Substring.UTF8View

    init(_ text: String) { rest = Substring(text).utf8 }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let first = rest.first, UInt32(first) == character.value else { return false }
        rest.removeFirst()
        return true
    }

    /// Exactly `count` digits, at most six.
    mutating func digits(_ count: Int) -> Int64? {
        var value: Int64 = 0
        for _ in 0..<count {
            guard let digit = rest.first, ASCII.isDigit(digit) else { return nil }
            value = value * 10 + Int64(digit - UInt8(ascii: "0"))
            rest.removeFirst()
        }
        return value
    }

    mutating func date() -> Int64? {
        guard let year = digits(4), take("-"), let month = digits(2), take("-"), let day = digits(2) else { return nil }
        return Calendar.day(year: year, month: month, day: day)
    }

    /// The fraction of a second in microseconds; 0 when there is none, nil when it has no digits.
    mutating func fraction() -> Int64? {
        guard take(".") else { return 0 }
        var value: Int64 = 0
        var count = 0
        while let digit = rest.first, ASCII.isDigit(digit) {
            if count < 6 { value = value * 10 + Int64(digit - UInt8(ascii: "0")) }
            count += 1
            rest.removeFirst()
        }
        guard count > 0 else { return nil }
        for _ in min(count, 6)..<6 { value *= 10 }
        return value
    }

    /// The offset of local time from UTC in seconds, at most 14 hours.
    mutating func zone() -> Int64? {
        if take("Z") { return 0 }
        let sign: Int64
        if take("+") {
            sign = 1
        } else if take("-") {
            sign = -1
        } else {
            return nil
        }
        guard let hours = digits(2), take(":"), let minutes = digits(2), hours < 14 || (hours == 14 && minutes == 0), minutes < 60 else {
            return nil
        }
        return sign * (hours * 3600 + minutes * 60)
    }
}

extension Int64 {
    /// Rounded towards minus infinity, for positive divisors.
    fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}
